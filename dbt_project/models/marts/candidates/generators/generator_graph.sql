-- Products that a walk over the graph of persons and products reaches most often from the person's positive interactions.
{{ retrieved_by('graph') }}
