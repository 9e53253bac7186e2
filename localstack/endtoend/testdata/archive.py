"""Reads an archive's files below a folder by DuckDB, and prints what it found as JSON.

The keys of the objects are the paths of the files, so that labourer and date are columns.
"""
import json
import sys

import duckdb

files = f"{sys.argv[1]}/labourer=*/date=*/*.jsonl.gz"
found = duckdb.sql(f"""
    select labourer, labourer_id, job_id, status, count(*) as tasks, sum(attempt)::int as attempts, sum(len(attempts))::int as told,
        any_value(attempts[1].error.type) as first_error, any_value(payload.sections[1]) as section, sum(stats.rows)::int as rows,
        bool_and(closed_at::timestamp >= created_at::timestamp and "date"::date = closed_at::date) as in_time
    from read_json('{files}', hive_partitioning = true)
    group by all order by status
""")
print(json.dumps([dict(zip(found.columns, row)) for row in found.fetchall()], default=str))
