-- The archive as a table of Athena, with a row for each life of a task: a replayed task has several. If Lambda splits a batch of the stream after it
-- was archived, the same rows are archived again in other files. Select from drover_lives to see each row once.
--
-- Replace ARCHIVE_BUCKET in both places below by the stack's output ArchiveBucketName, and run this once. New labourers and days need nothing more.
-- Every query has to name its labourer: where labourer = 'some_function' and "date" >= '2026-11-01'. Times are RFC 3339 in UTC, and
-- from_iso8601_timestamp reads them; payload, result and stats are JSON, and json_extract_scalar(payload, '$.store') reads them.

CREATE EXTERNAL TABLE drover_archive (
  task_id string,
  job_id string,
  labourer_id string,
  status string COMMENT 'completed, dead or cancelled',
  attempt int COMMENT 'how many of its attempts have ended',
  created_at string,
  closed_at string,
  payload string,
  attempts array<struct<attempt: int, dispatched_at: string, closed_at: string, status: string, error: struct<type: string, message: string>>>,
  result string,
  stats string,
  life int COMMENT 'how often it had been replayed; null means 0',
  replay_of int COMMENT 'the last attempt of its previous life',
  traceparent string COMMENT 'the trace context of its job',
  sosw_task_id string COMMENT 'of a task that was moved from a sosw'
)
PARTITIONED BY (labourer string, `date` string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION 's3://ARCHIVE_BUCKET/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.labourer.type' = 'injected',
  'projection.date.type' = 'date',
  'projection.date.format' = 'yyyy-MM-dd',
  'projection.date.range' = '2026-01-01,NOW+1DAY',
  'storage.location.template' = 's3://ARCHIVE_BUCKET/labourer=${labourer}/date=${date}/'
);

-- Each life once. A condition on the columns of PARTITION BY limits how many files a query reads.
CREATE OR REPLACE VIEW drover_lives AS
SELECT task_id, job_id, labourer_id, status, attempt, created_at, closed_at, payload, attempts, result, stats, life, replay_of, traceparent, sosw_task_id, labourer, "date"
FROM (
  SELECT *, row_number() OVER (PARTITION BY labourer, "date", task_id, life) AS copy
  FROM drover_archive
)
WHERE copy = 1;
