-- Products whose vectors fit the person's vector best.
{{ retrieved_by('towers') }}
