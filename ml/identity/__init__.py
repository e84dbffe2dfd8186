"""Which accounts are one person, which items are one product: records in, scored edges out, clusters out."""
