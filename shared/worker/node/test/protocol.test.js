// Runs the suite that all SDKs share: ../../protocol/README.md explains its fields.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { BadEvent, Failure, Permanent, RetryAfter, worker } from "../src/index.js";

const { cases } = JSON.parse(readFileSync(new URL("../../protocol/cases.json", import.meta.url)));

function functionOf(does) {
  return async (task) => {
    assert.ok(!does.never, "the function is called");
    for (const [name, value] of Object.entries(does.stats ?? {})) task.stat(name, value);
    if (does.stats_bytes) task.stat("text", "x".repeat(does.stats_bytes));
    for (let n = 0; n < (does.heartbeats ?? 0); n++) await task.heartbeat();
    if (does.raises) throw errorOf(does.raises);
    if (does.returns_payload) return task.payload;
    if (does.returns_bytes) return "x".repeat(does.returns_bytes - 2);
    if (does.returns_nan) return NaN;
    if (does.returns_identity) {
      return {
        task_id: task.id, job_id: task.jobId, labourer_id: task.labourerId, attempt: task.attempt, deadline: task.deadline.toISOString().replace(".000", ""),
        ...(task.soswTaskId && { sosw_task_id: task.soswTaskId }), ...task.headers(),
      };
    }
    return does.returns;
  };
}

function errorOf({ type, message, permanent, retry_after: seconds }) {
  if (permanent) return new Permanent(message, { type });
  if (seconds !== undefined) return new RetryAfter(seconds, message, { type });
  return new Failure(message, { type });
}

for (const one of cases) {
  test(one.name, async () => {
    const sent = [];
    const queue = { send: async (url, body) => { sent.push({ url, body }); } };
    const handler = worker(functionOf(one.does), { now: () => Date.parse(one.now), queue, log: () => {} });

    if (one.refuses) {
      await assert.rejects(handler(one.event), (error) => error instanceof BadEvent && error.field === one.refuses);
    } else {
      const answer = await handler(one.event);
      if (one.redelivers) assert.deepEqual(answer.batchItemFailures.map((item) => item.itemIdentifier), one.redelivers);
    }

    assert.equal(sent.length, one.sends.length);
    for (const [i, want] of one.sends.entries()) {
      assert.deepEqual(comparable(JSON.parse(sent[i].body), want), want);
      for (const character of one.refused ?? []) assert.ok(!sent[i].body.includes(character));
      assert.equal(sent[i].url, one.to ?? sent[i].url);
    }
  });
}

/** Returns a message without what its case does not compare. */
function comparable(message, want) {
  if (want.result_bytes) {
    message.result_bytes = JSON.stringify(message.result).length;
    delete message.result;
  }
  if (want.error && !("message" in want.error)) {
    assert.ok(message.error.message);
    delete message.error.message;
  }
  return message;
}
