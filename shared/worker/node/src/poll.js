import { BadEvent, CompletionError, Failure } from "./errors.js";
import { final } from "./sqs.js";
import { parseTask } from "./task.js";
import { pause } from "./worker.js";

const MOST = 10; // messages that SQS returns at once
const SETTLE = 4000; // milliseconds in which functions return after they were told to

/** Runs the tasks of a queue until it is stopped, and then lets them end. */
export async function poll(runner, url, { concurrency = 1, visibility = 60, drain = 25, signal } = {}) {
  if (!url) throw new RangeError("queueUrl is empty; want the URL of the labourer's SQS target");
  if (!(concurrency >= 1)) throw new RangeError(`concurrency is ${concurrency}; want at least 1`);
  if (!(visibility >= 10 && visibility <= 43_200)) throw new RangeError(`visibility is ${visibility} s; want 10 s to 12 h`);
  const stop = signal ?? terminated();
  const running = new Map(); // promises and what ends their tasks
  let draining = false;
  try {
    for (let failures = 0; !stop.aborted;) {
      if (running.size >= concurrency) {
        await Promise.race([...running.keys(), aborted(stop)]);
        continue;
      }
      try {
        const messages = await runner.queue.receive(url, Math.min(concurrency - running.size, MOST), visibility, stop);
        failures = 0;
        for (const message of messages) {
          const control = {};
          const done = one(runner, url, message, visibility, control, () => draining).finally(() => running.delete(done));
          running.set(done, control);
        }
      } catch (error) {
        if (stop.aborted) break;
        if (final(error)) throw error;
        failures++;
        runner.log(`receiving failed: ${error.name}`);
        await pause(runner.wait(failures), stop);
      }
    }
  } finally {
    await settled(running, drain * 1000);
    draining = true;
    for (const control of running.values()) control.lose?.(new Failure("the worker is being stopped", { type: "Draining" }));
    await settled(running, SETTLE);
  }
  if (running.size) throw new Error(`${running.size} tasks still run after they were told to end; their messages return to the queue by themselves`);
}

/** Waits until all tasks have ended, but not longer than this. It leaves no timer, which would keep the process alive. */
async function settled(running, milliseconds) {
  const over = new AbortController();
  await Promise.race([Promise.allSettled([...running.keys()]), pause(milliseconds, over.signal)]);
  over.abort();
}

async function one(runner, url, message, visibility, control, draining) {
  let attempt;
  try {
    attempt = await runner.begin(parseTask(message.body), undefined, message.sentAt);
  } catch (error) {
    if (!(error instanceof BadEvent)) throw error;
    runner.log(`message ${message.id} is no task: ${error.field}`);
    return;
  }
  const { task } = attempt;
  let lost = false;
  control.lose = (reason) => { lost = true; attempt.lose(reason); };
  const stopHiding = keepHidden(runner, url, message, visibility, control.lose);
  const every = runner.heartbeat ?? Math.max((task.deadline.getTime() - (message.sentAt ?? runner.now())) / 3000, 1);
  const end = await runner.call(attempt, every);
  stopHiding();
  attempt.stop();
  if (end.thrown && lost) { // another worker may have started the same attempt
    if (draining()) await runner.queue.hide(url, message.receipt, 0).catch((error) => runner.log(`message ${message.id} is not returned: ${error.name}`));
    runner.log(`task ${task.id}, attempt ${task.attempt}: abandoned`);
    return;
  }
  try {
    await runner.report(task, end);
  } catch (error) {
    if (!(error instanceof CompletionError)) throw error;
    runner.log(`task ${task.id}, attempt ${task.attempt}: not reported; its message is redelivered`);
    return;
  }
  for (let tries = 1; tries <= 3; tries++) {
    try {
      return await runner.queue.remove(url, message.receipt);
    } catch (error) { // the task would run again, which delivery at least once allows
      runner.log(`message ${message.id} is not deleted: ${error.name}`);
      if (final(error)) return;
      await pause(runner.wait(tries));
    }
  }
}

/** Renews a message's invisibility. The task is lost if SQS says so, or confirms nothing for too long. */
function keepHidden(runner, url, message, visibility, lose) {
  let hidden = Date.now() + visibility * 1000;
  const timer = setInterval(async () => {
    const asked = Date.now();
    try {
      await runner.queue.hide(url, message.receipt, visibility);
      hidden = asked + visibility * 1000;
    } catch (error) {
      runner.log(`message ${message.id} is not kept hidden: ${error.name}`);
      if (final(error) || Date.now() >= hidden) lose(new Failure("the task is no longer this worker's", { type: "LeaseLost" }));
    }
  }, (visibility / 3) * 1000);
  return () => clearInterval(timer);
}

function terminated() {
  const controller = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"]) process.once(name, () => controller.abort());
  return controller.signal;
}

const aborted = (signal) => new Promise((resolve) => {
  if (signal.aborted) resolve();
  else signal.addEventListener("abort", resolve, { once: true });
});
