#include "router.h"

#include <array>
#include <iostream>

namespace v1 = checkrein::v1;

namespace {

void Prepare(grpc::ClientContext* context, const std::string& key, std::chrono::milliseconds patience) {
  context->AddMetadata("authorization", "Bearer " + key);
  context->set_deadline(std::chrono::system_clock::now() + patience);
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

// For a router that serves TLS: grpc::SslCredentials({}).
Router::Router(const std::string& target)
    : stub_(v1::ChatService::NewStub(grpc::CreateChannel(target, grpc::InsecureChannelCredentials()))) {}

grpc::Status Router::Chat(const std::string& key, const v1::ChatCompletionRequest& chat,
                          std::chrono::milliseconds patience, v1::CreateChatCompletionResponse* reply) {
  grpc::ClientContext context;
  Prepare(&context, key, patience);
  v1::CreateChatCompletionRequest request;
  *request.mutable_chat() = chat;
  return stub_->CreateChatCompletion(&context, request, reply);
}

grpc::Status Router::Stream(const std::string& key, const v1::ChatCompletionRequest& chat,
                            std::chrono::milliseconds patience, const std::function<void(std::string_view)>& on_text,
                            v1::StreamSummary* summary) {
  grpc::ClientContext context;
  Prepare(&context, key, patience);
  v1::StreamChatCompletionRequest request;
  *request.mutable_chat() = chat;
  const auto events = stub_->StreamChatCompletion(&context, request);
  bool summed_up = false;
  // `served` is passed over here, and so is what a newer router may send.
  for (v1::StreamChatCompletionResponse event; events->Read(&event);) {
    for (const auto& chunk : event.chunks().chunks()) {
      for (const auto& choice : chunk.choices()) {
        if (!choice.delta().content().empty()) on_text(choice.delta().content());
      }
    }
    // What no typed chunk can hold comes as JSON to everybody.
    for (const auto& json : event.chunks_json().chunks()) std::cerr << "a chunk that is only JSON: " << json << '\n';
    if (event.has_summary()) {
      *summary = event.summary();
      summed_up = true;
    }
  }
  grpc::Status status = events->Finish();
  if (status.ok() && !summed_up) return {grpc::StatusCode::INTERNAL, "the stream ended in OK without a summary"};
  return status;
}

std::optional<checkrein::clients::ErrorInfo> ErrorInfoOf(const grpc::Status& status) {
  checkrein::clients::Status told;
  if (!told.ParseFromString(status.error_details())) return std::nullopt;
  for (const auto& detail : told.details()) {
    checkrein::clients::ErrorInfo info;
    if (EndsWith(detail.type_url(), "/google.rpc.ErrorInfo") && info.ParseFromString(detail.value())) return info;
  }
  return std::nullopt;
}

std::string_view NameOf(grpc::StatusCode code) {
  static constexpr std::array<std::string_view, 17> kNames = {
      "OK",           "CANCELLED",         "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND",    "ALREADY_EXISTS",    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",      "OUT_OF_RANGE",      "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS",    "UNAUTHENTICATED"};
  const auto number = static_cast<std::size_t>(code);
  return number < kNames.size() ? kNames[number] : "no known status";
}
