-- The archive as a table of Athena: a row for each life of a task, that is, for each time that it reached its end. A batch of the stream that
-- was cut in two after it had been archived is archived once more in other files, with the same rows: select from drover_lives to see each once.
--
-- Put the output ArchiveBucketName of the stack in both places below and run this once; new labourers and days need nothing more.
-- Every query names its labourer: where labourer = 'some_function' and "date" >= '2026-11-01'. Times are RFC 3339 in UTC, and
-- from_iso8601_timestamp reads them; payload, result and stats are JSON, and json_extract_scalar(payload, '$.store') reads them.

CREATE EXTERNAL TABLE drover_archive (
  task_id string,
  job_id string,
  labourer_id string,
  status string COMMENT 'completed, dead or cancelled',
  attempt int COMMENT 'how many attempts at it have ended',
  created_at string,
  closed_at string,
  payload string,
  attempts array<struct<attempt: int, dispatched_at: string, closed_at: string, status: string, error: struct<type: string, message: string>>>,
  result string,
  stats string,
  life int COMMENT 'how often it was replayed before; null is 0',
  replay_of int COMMENT 'the attempt with which its former life ended'
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

-- Each life once. What stands in PARTITION BY may stand in where, and is used to read few files.
CREATE OR REPLACE VIEW drover_lives AS
SELECT task_id, job_id, labourer_id, status, attempt, created_at, closed_at, payload, attempts, result, stats, life, replay_of, labourer, "date"
FROM (
  SELECT *, row_number() OVER (PARTITION BY labourer, "date", task_id, life) AS copy
  FROM drover_archive
)
WHERE copy = 1;
