// Asks a router four times over gRPC and prints what came back: ../README.md has what must be set and what is printed.

#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "router.h"

namespace {

using checkrein::v1::ChatCompletionRequest;
using checkrein::v1::CreateChatCompletionResponse;
using checkrein::v1::StreamSummary;
using std::chrono::milliseconds;

constexpr milliseconds kPatience{10'000};
constexpr milliseconds kShort{300};

// A call went otherwise than it should.
struct Unexpected : std::runtime_error {
  using std::runtime_error::runtime_error;
  explicit Unexpected(const grpc::Status& status)
      : std::runtime_error(std::string(NameOf(status.error_code())) + ": " + status.error_message()) {}
};

std::string Required(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') throw Unexpected(std::string(name) + " is not set");
  return value;
}

std::string Model() {
  const char* value = std::getenv("CHECKREIN_MODEL");
  return value == nullptr || *value == '\0' ? "demo" : value;
}

ChatCompletionRequest SayHello(const std::string& model) {
  ChatCompletionRequest request;
  request.set_model(model);
  auto* message = request.add_messages();
  message->set_role("user");
  message->mutable_content()->set_text("Say hello.");
  return request;
}

void Chat(Router& router) {
  CreateChatCompletionResponse reply;
  const auto status = router.Chat(Required("CHECKREIN_API_KEY"), SayHello(Model()), kPatience, &reply);
  if (!status.ok()) throw Unexpected(status);
  const auto& choices = reply.completion().choices();
  if (choices.empty() || !choices[0].message().content().has_text()) {
    throw Unexpected("a reply without a text: " + reply.ShortDebugString());
  }
  std::cout << "chat: " << choices[0].message().content().text() << '\n';
}

void Stream(Router& router) {
  const auto print = [](std::string_view text) { std::cout << text << std::flush; };
  StreamSummary summary;
  std::cout << "stream: ";
  const auto status = router.Stream(Required("CHECKREIN_API_KEY"), SayHello(Model()), kPatience, print, &summary);
  std::cout << std::endl;
  if (!status.ok()) throw Unexpected(status);
  const auto& cost = summary.cost();
  std::cout << "usage: " << summary.usage().input_tokens() << " input, " << summary.usage().output_tokens()
            << " output\ncost: " << (cost.has_total_nano_usd() ? std::to_string(cost.total_nano_usd()) : "unknown")
            << " nano-USD\n";
}

void Refused(Router& router) {
  CreateChatCompletionResponse reply;
  const auto status = router.Chat(Required("CHECKREIN_BROKE_KEY"), SayHello(Model()), kPatience, &reply);
  if (status.ok()) throw Unexpected("it was answered");
  const auto info = ErrorInfoOf(status);
  if (status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED || !info || info->reason() != "BUDGET_EXHAUSTED") {
    throw Unexpected(status);
  }
  std::cout << "refused: " << info->reason() << "\nmessage: " << status.error_message() << '\n';
}

void Deadline(Router& router) {
  CreateChatCompletionResponse reply;
  const auto slow = SayHello(Required("CHECKREIN_SLOW_MODEL"));
  const auto status = router.Chat(Required("CHECKREIN_API_KEY"), slow, kShort, &reply);
  if (status.ok()) throw Unexpected("it was answered");
  if (status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) throw Unexpected(status);
  std::cout << "deadline: " << NameOf(status.error_code()) << '\n';
}

}  // namespace

int main() {
  struct Step {
    const char* name;
    void (*run)(Router&);
  };
  const char* running = "start";
  try {
    Router router(Required("CHECKREIN_TARGET"));
    const Step steps[] = {{"chat", Chat}, {"stream", Stream}, {"refused", Refused}, {"deadline", Deadline}};
    for (const auto& step : steps) {
      running = step.name;
      step.run(router);
    }
  } catch (const std::exception& error) {
    std::cout << std::flush;
    std::cerr << running << ": FAILED: " << error.what() << std::endl;
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
