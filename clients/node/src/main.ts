// Asks a router four times over gRPC and prints what came back: ../README.md has what must be set and what is printed.

import { type ServiceError, status } from "@grpc/grpc-js";
import { type ChatCompletionRequest, type Reply, Router, Unexpected, errorInfoOf } from "./router.js";

const PATIENCE_MS = 10_000;
const SHORT_MS = 300;

async function chat(router: Router): Promise<void> {
  const reply = await router.chat(required("CHECKREIN_API_KEY"), request(), PATIENCE_MS);
  console.log(`chat: ${textOf(reply)}`);
}

async function stream(router: Router): Promise<void> {
  process.stdout.write("stream: ");
  try {
    const deltas = router.stream(required("CHECKREIN_API_KEY"), request(), PATIENCE_MS);
    let next = await deltas.next();
    for (; !next.done; next = await deltas.next()) process.stdout.write(next.value);
    const { usage, cost } = next.value;
    process.stdout.write(`\nusage: ${usage?.inputTokens} input, ${usage?.outputTokens} output`);
    process.stdout.write(`\ncost: ${cost?.totalNanoUsd ?? "unknown"} nano-USD`);
  } finally {
    process.stdout.write("\n");
  }
}

async function refused(router: Router): Promise<void> {
  const error = await failureOf(router.chat(required("CHECKREIN_BROKE_KEY"), request(), PATIENCE_MS));
  const reason = errorInfoOf(error)?.reason;
  if (error.code !== status.RESOURCE_EXHAUSTED || reason !== "BUDGET_EXHAUSTED") {
    throw new Unexpected(`${said(error)} (${reason ?? "no reason"})`);
  }
  console.log(`refused: ${reason}\nmessage: ${error.details}`);
}

async function deadline(router: Router): Promise<void> {
  const slow = request(required("CHECKREIN_SLOW_MODEL"));
  const error = await failureOf(router.chat(required("CHECKREIN_API_KEY"), slow, SHORT_MS));
  if (error.code !== status.DEADLINE_EXCEEDED) throw error;
  console.log(`deadline: ${status[error.code]}`);
}

function request(model = process.env.CHECKREIN_MODEL || "demo"): ChatCompletionRequest {
  return { model, messages: [{ role: "user", content: { text: "Say hello." } }] };
}

function textOf({ completion, completionJson }: Reply): string {
  const text = completion?.choices?.[0]?.message?.content?.text;
  const told = completionJson ?? JSON.stringify(completion);
  if (text === undefined) throw new Unexpected(`a reply without a text: ${told}`);
  return text;
}

async function failureOf(call: Promise<Reply>): Promise<ServiceError> {
  const outcome: unknown = await call.catch((error: unknown) => error);
  if (isServiceError(outcome)) return outcome;
  throw outcome instanceof Error ? outcome : new Unexpected("it was answered");
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

function said(error: unknown): string {
  if (isServiceError(error)) return `${status[error.code]}: ${error.details}`;
  return error instanceof Error ? error.message : String(error);
}

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Unexpected(`${name} is not set`);
  return value;
}

const steps = { chat, stream, refused, deadline };
let step = "start";
let router: Router | undefined;
try {
  router = new Router(required("CHECKREIN_TARGET"));
  for (const [name, run] of Object.entries(steps)) {
    step = name;
    await run(router);
  }
} catch (error) {
  console.error(`${step}: FAILED: ${said(error)}`);
  process.exitCode = 1;
} finally {
  router?.close();
}
