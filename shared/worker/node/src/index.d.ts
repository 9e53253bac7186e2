/** One attempt of a task. */
export interface Task<Payload = Record<string, unknown>> {
  /** Stays the same for all attempts: use it as the key of effects that must happen once. */
  readonly id: string;
  readonly jobId: string;
  readonly labourerId: string;
  /** Counts from 1. */
  readonly attempt: number;
  readonly deadline: Date;
  /** The task's own attributes. */
  readonly payload: Payload;
  readonly completionsUrl: string;
  /** The id in sosw of a task that was moved from there, or "". */
  readonly soswTaskId: string;
  readonly traceparent: string;
  readonly tracestate: string;
  /** Is aborted when the attempt's time is over, or the task is no longer this worker's. Heartbeats extend the time. */
  readonly signal: AbortSignal;
  /** Records a figure of this run. It is archived with the task, also when the run fails. */
  stat(name: string, value: unknown): void;
  /** Milliseconds until the function has to end. */
  remaining(): number;
  /** Tells Drover that the worker still runs, and extends the lease by the labourer's max_duration. */
  heartbeat(): Promise<void>;
  /** The trace context, as headers for requests that belong to this attempt. */
  headers(): Record<string, string>;
}

export interface FailureOptions {
  /** The type of the failure, which people see and a labourer's `not_retryable` can name. Default: that of the cause, or the class's name. */
  type?: string;
  cause?: unknown;
}

/** Ends the attempt as failed. Drover retries the task by the labourer's policy. */
export class Failure extends Error {
  constructor(message?: string, options?: FailureOptions);
  readonly type?: string;
  readonly retryable: boolean;
}

/** Ends the attempt as failed, and the task with it: a retry would not help. */
export class Permanent extends Failure {}

/** Ends the attempt as failed, and asks for so many seconds before the next, within the labourer's policy. */
export class RetryAfter extends Failure {
  constructor(seconds: number, message?: string, options?: FailureOptions);
  readonly seconds: number;
}

/** The event is not a task of Drover. field is the path of the wrong attribute, or "event" for the whole. */
export class BadEvent extends Error {
  readonly field: string;
  readonly reason: string;
}

/** A run ended, but its completion could not be sent. For Drover the attempt is still running. */
export class CompletionError extends Error {}

/** The calls of SQS that a worker makes. */
export interface Queue {
  send(url: string, body: string): Promise<void>;
  receive(url: string, most: number, visibility: number, signal: AbortSignal): Promise<Message[]>;
  remove(url: string, receipt: string): Promise<void>;
  hide(url: string, receipt: string, seconds: number): Promise<void>;
}

export interface Message {
  id: string;
  receipt: string;
  body: string;
  /** Milliseconds since 1970, or undefined. */
  sentAt?: number;
}

export interface Options {
  /** Seconds between heartbeats while the function runs. Default: none in a Lambda function, a third of max_duration in poll. */
  heartbeat?: number;
  /** Limits each run, in seconds. */
  timeout?: number;
  /** Replaces Date.now, for tests. */
  now?: () => number;
  /** Replaces SQS, for tests. */
  queue?: Queue;
  /** Gets one line for each run, without payload, result and messages of errors. Default: console.log. */
  log?: (line: string) => void;
}

export interface PollOptions {
  /** Tasks at once. Default 1. */
  concurrency?: number;
  /** Seconds for which a message is hidden at a time, 10 to 43,200. Default 60. */
  visibility?: number;
  /** Seconds for which running tasks go on after the stop. Default 25. */
  drain?: number;
  /** Ends the loop. Default: SIGTERM and SIGINT do. */
  signal?: AbortSignal;
}

/** A function that runs tasks: the handler of a Lambda function, and a poller of a queue. */
export interface Worker {
  (event: unknown, context?: { getRemainingTimeInMillis(): number }): Promise<unknown>;
  /** Runs the tasks that arrive in a queue until it is stopped. */
  poll(queueUrl: string, options?: PollOptions): Promise<void>;
}

/** Makes a worker of a function. What the function returns is the task's result. */
export function worker<Payload = Record<string, unknown>>(run: (task: Task<Payload>) => unknown, options?: Options): Worker;

/** Reads the event of one task: a Lambda event, or the text of a message. It throws a BadEvent if it is none. */
export function parseTask(event: unknown): Omit<Task, "signal" | "stat" | "remaining" | "heartbeat" | "headers">;
