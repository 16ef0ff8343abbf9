import checkrein.clients.ErrorInfo;
import checkrein.v1.Chat.ChatCompletionRequest;
import checkrein.v1.Chat.ChatContent;
import checkrein.v1.Chat.ChatMessage;
import checkrein.v1.Chat.Choice;
import checkrein.v1.ChatServiceOuterClass.CreateChatCompletionResponse;
import checkrein.v1.ChatServiceOuterClass.StreamSummary;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** Asks a router four times over gRPC and prints what came back: README.md has what must be set and what is printed. */
public final class Client {
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final Duration SHORT = Duration.ofMillis(300);
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final PrintStream ERR = new PrintStream(System.err, true, StandardCharsets.UTF_8);

    private final Router router;

    private Client(Router router) {
        this.router = router;
    }

    public static void main(String[] arguments) {
        String step = "start";
        try (Router router = new Router(required("CHECKREIN_TARGET"))) {
            Client client = new Client(router);
            step = "chat";
            client.chat();
            step = "stream";
            client.stream();
            step = "refused";
            client.refused();
            step = "deadline";
            client.deadline();
        } catch (StatusRuntimeException | Router.Unexpected error) {
            String cause = error.getCause() == null ? "" : ": " + error.getCause().getMessage();
            ERR.println(step + ": FAILED: " + error.getMessage() + cause);
            System.exit(1);
        }
    }

    private void chat() {
        CreateChatCompletionResponse reply = router.chat(required("CHECKREIN_API_KEY"), sayHello(model()), PATIENCE);
        List<Choice> choices = reply.getCompletion().getChoicesList();
        if (choices.isEmpty() || !choices.get(0).getMessage().getContent().hasText()) {
            throw new Router.Unexpected("a reply without a text: " + reply);
        }
        OUT.println("chat: " + choices.get(0).getMessage().getContent().getText());
    }

    private void stream() {
        OUT.print("stream: ");
        StreamSummary summary;
        try {
            summary = router.stream(required("CHECKREIN_API_KEY"), sayHello(model()), PATIENCE, Client::printNow);
        } finally {
            OUT.println();
        }
        long input = summary.getUsage().getInputTokens();
        long output = summary.getUsage().getOutputTokens();
        boolean priced = summary.getCost().hasTotalNanoUsd();
        OUT.println("usage: " + input + " input, " + output + " output");
        OUT.println("cost: " + (priced ? summary.getCost().getTotalNanoUsd() : "unknown") + " nano-USD");
    }

    private void refused() {
        StatusRuntimeException error = failureOf(required("CHECKREIN_BROKE_KEY"), sayHello(model()), PATIENCE);
        Optional<String> reason = Router.errorInfoOf(error).map(ErrorInfo::getReason);
        Status status = error.getStatus();
        if (status.getCode() != Status.Code.RESOURCE_EXHAUSTED || !reason.equals(Optional.of("BUDGET_EXHAUSTED"))) {
            throw error;
        }
        OUT.println("refused: " + reason.get());
        OUT.println("message: " + status.getDescription());
    }

    private void deadline() {
        ChatCompletionRequest slow = sayHello(required("CHECKREIN_SLOW_MODEL"));
        StatusRuntimeException error = failureOf(required("CHECKREIN_API_KEY"), slow, SHORT);
        if (error.getStatus().getCode() != Status.Code.DEADLINE_EXCEEDED) {
            throw error;
        }
        OUT.println("deadline: " + error.getStatus().getCode());
    }

    private StatusRuntimeException failureOf(String key, ChatCompletionRequest request, Duration patience) {
        try {
            router.chat(key, request, patience);
        } catch (StatusRuntimeException error) {
            return error;
        }
        throw new Router.Unexpected("it was answered");
    }

    private static void printNow(String text) {
        OUT.print(text);
        OUT.flush();
    }

    private static ChatCompletionRequest sayHello(String model) {
        ChatContent content = ChatContent.newBuilder().setText("Say hello.").build();
        ChatMessage message = ChatMessage.newBuilder().setRole("user").setContent(content).build();
        return ChatCompletionRequest.newBuilder().setModel(model).addMessages(message).build();
    }

    private static String model() {
        String value = System.getenv("CHECKREIN_MODEL");
        return value == null || value.isEmpty() ? "demo" : value;
    }

    private static String required(String name) {
        String value = System.getenv(name);
        if (value == null || value.isEmpty()) {
            throw new Router.Unexpected(name + " is not set");
        }
        return value;
    }
}
