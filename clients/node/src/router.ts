// The calls that this client makes of a router, and what its refusals say.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ServiceError, Metadata, credentials, loadPackageDefinition } from "@grpc/grpc-js";
import { type Options, loadSync } from "@grpc/proto-loader";
import type { ProtoGrpcType as ChatTypes } from "../build/types/chat_service.js";
import type { ProtoGrpcType as ErrorTypes } from "../build/types/rpc_errors.js";
import type { ErrorInfo__Output as ErrorInfo } from "../build/types/checkrein/clients/ErrorInfo.js";
import type { ChatCompletionRequest } from "../build/types/checkrein/v1/ChatCompletionRequest.js";
import type { ChatServiceClient } from "../build/types/checkrein/v1/ChatService.js";
import type { CreateChatCompletionResponse__Output as Reply } from "../build/types/checkrein/v1/CreateChatCompletionResponse.js";
import type { StreamChatCompletionResponse__Output as StreamEvent } from "../build/types/checkrein/v1/StreamChatCompletionResponse.js";
import type { StreamSummary__Output as Summary } from "../build/types/checkrein/v1/StreamSummary.js";

export type { ChatCompletionRequest, ErrorInfo, Reply, Summary };

// This module runs as build/js/src/router.js.
const CLIENTS = fileURLToPath(new URL("../../../..", import.meta.url));

// The Makefile generates the types with the same options. Money need not fit a number, so 64 bits are texts.
const LOADING: Options = {
  longs: String,
  defaults: true,
  oneofs: true,
  includeDirs: [join(CLIENTS, "../protos"), CLIENTS],
};

/** A call went otherwise than it should. */
export class Unexpected extends Error {}

export class Router {
  readonly #stub: ChatServiceClient;

  constructor(target: string) {
    const { checkrein } = load<ChatTypes>("checkrein/v1/chat_service.proto");
    // For a router that serves TLS: credentials.createSsl().
    this.#stub = new checkrein.v1.ChatService(target, credentials.createInsecure());
  }

  /** Resolves to the whole reply; rejects with a ServiceError. */
  chat(key: string, chat: ChatCompletionRequest, patienceMs: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#stub.createChatCompletion({ chat }, withKey(key), { deadline: Date.now() + patienceMs }, (error, reply) => {
        if (reply !== undefined) resolve(reply);
        else reject(error ?? new Unexpected("OK without a reply"));
      });
    });
  }

  /**
   * Yields the text as it comes and returns the summary. A stream that breaks off throws the fault that it ended in; one
   * that is left is cancelled.
   */
  async *stream(key: string, chat: ChatCompletionRequest, patienceMs: number): AsyncGenerator<string, Summary> {
    const call = this.#stub.streamChatCompletion({ chat }, withKey(key), { deadline: Date.now() + patienceMs });
    // Who left does not ask how it ended; without a listener Node would end the program.
    call.on("error", () => {});
    const events: AsyncIterable<StreamEvent> = call;
    let summary: Summary | undefined;
    try {
      // `served` is passed over here, and so is what a newer router may send.
      for await (const event of events) {
        for (const choice of event.chunks?.chunks?.flatMap((chunk) => chunk.choices ?? []) ?? []) {
          if (choice.delta?.content) yield choice.delta.content;
        }
        // What no typed chunk can hold comes as JSON to everybody.
        for (const json of event.chunksJson?.chunks ?? []) console.error(`a chunk that is only JSON: ${json}`);
        summary = event.summary ?? summary;
      }
    } finally {
      call.cancel();
    }
    if (summary === undefined) throw new Unexpected("the stream ended in OK without a summary");
    return summary;
  }

  close(): void {
    this.#stub.close();
  }
}

/** Why the router refused; undefined where the router did not speak: gRPC itself did, or something between. */
export function errorInfoOf(error: ServiceError): ErrorInfo | undefined {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  if (!Buffer.isBuffer(bytes)) return undefined;
  const { Status, ErrorInfo } = load<ErrorTypes>("rpc_errors.proto").checkrein.clients;
  const found = Status.deserialize(bytes).details.find(({ typeUrl }) => typeUrl.endsWith("/google.rpc.ErrorInfo"));
  return found && ErrorInfo.deserialize(found.value);
}

function load<Types>(file: string): Types {
  return loadPackageDefinition(loadSync(file, LOADING)) as unknown as Types;
}

function withKey(key: string): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  return metadata;
}
