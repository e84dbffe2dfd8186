-- Says which line is wrong: a night that ranks by something else than was meant looks like any other.
with objectives as (
    select * from {{ ref('objectives') }}
),

event_types as (
    select * from {{ ref('event_types') }}
),

problems as (
    select 'weight of ' || objective || ' is ' || weight || ', and may not be below 0' as problem
    from objectives
    where not (weight >= 0 and isfinite(weight))
    union all
    select 'positive must weigh more than 0: lists are judged by it, and ranked by it alone where a platform has no other objective'
    from (select coalesce(max(weight) filter (where objective = 'positive'), 0) as weight from objectives)
    where weight = 0
    union all
    select 'positive weighs its examples by ' || example_weight || ', and can by weight alone'
    from objectives
    where objective = 'positive' and example_weight != 'weight'
    union all
    select 'objective "' || objective || '" is no name of lower-case letters, digits and underscores'
    from objectives
    where not regexp_matches(objective, '^[a-z][a-z0-9_]*$')
    union all
    select 'event type ' || event_type || ' counts for positive by is_positive alone: leave its objective empty'
    from event_types
    where objective = 'positive'
    union all
    select
        'event type ' || event_types.event_type || ' counts for "' || event_types.objective || '", which objectives.csv lacks. It has '
        || (select string_agg(objective, ', ' order by objective) from objectives)
    from event_types
    anti join objectives on event_types.objective = objectives.objective
    where event_types.objective is not null
    union all
    select
        'event type ' || event_types.event_type || ' has weight 0 and would teach ' || objectives.objective
        || ' nothing: give it a weight, or weigh the objective by value'
    from event_types
    inner join objectives on event_types.objective = objectives.objective
    where event_types.weight = 0 and objectives.example_weight = 'weight'
    union all
    select 'no event type counts for objective ' || objectives.objective || ', which weighs ' || objectives.weight
    from objectives
    anti join event_types on objectives.objective = event_types.objective
    where objectives.objective != 'positive' and objectives.weight > 0
)

select error('seeds objectives.csv and event_types.csv: ' || string_agg(problem, '; ' order by problem)) as problem
from problems
having count(*) > 0
