"""Which accounts are one person, which items are one product: records in, scored pairs and clusters out."""
