// The calls that this client makes of a router, and what its refusals say.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "checkrein/v1/chat_service.grpc.pb.h"
#include "rpc_errors.pb.h"

class Router {
 public:
  // `target` is host:port of a router that serves without TLS.
  explicit Router(const std::string& target);

  // Waits for the whole reply.
  grpc::Status Chat(const std::string& key, const checkrein::v1::ChatCompletionRequest& chat,
                    std::chrono::milliseconds patience, checkrein::v1::CreateChatCompletionResponse* reply);

  // Gives the text to `on_text` as it comes. The summary is set if the status is OK; a stream that breaks off ends in
  // its fault, after what was already said.
  grpc::Status Stream(const std::string& key, const checkrein::v1::ChatCompletionRequest& chat,
                      std::chrono::milliseconds patience, const std::function<void(std::string_view)>& on_text,
                      checkrein::v1::StreamSummary* summary);

 private:
  std::unique_ptr<checkrein::v1::ChatService::Stub> stub_;
};

// Why the router refused; nothing where the router did not speak: gRPC itself did, or something between.
std::optional<checkrein::clients::ErrorInfo> ErrorInfoOf(const grpc::Status& status);

// The name of a status, such as `DEADLINE_EXCEEDED`.
std::string_view NameOf(grpc::StatusCode code);
