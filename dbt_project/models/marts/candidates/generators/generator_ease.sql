-- Products that are most similar to the person's positive interactions by EASE.
{{ retrieved_by('ease') }}
