import checkrein.clients.Detail;
import checkrein.clients.ErrorInfo;
import checkrein.v1.Chat.ChatCompletionChunk;
import checkrein.v1.Chat.ChatCompletionRequest;
import checkrein.v1.Chat.ChunkChoice;
import checkrein.v1.ChatServiceGrpc;
import checkrein.v1.ChatServiceOuterClass.CreateChatCompletionRequest;
import checkrein.v1.ChatServiceOuterClass.CreateChatCompletionResponse;
import checkrein.v1.ChatServiceOuterClass.StreamChatCompletionRequest;
import checkrein.v1.ChatServiceOuterClass.StreamChatCompletionResponse;
import checkrein.v1.ChatServiceOuterClass.StreamSummary;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.Iterator;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** The calls that this client makes of a router, and what its refusals say. */
final class Router implements AutoCloseable {
    /** A call went otherwise than it should. */
    static final class Unexpected extends RuntimeException {
        private static final long serialVersionUID = 1;

        Unexpected(String message) {
            super(message);
        }
    }

    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private static final Metadata.Key<byte[]> DETAILS =
            Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

    private final ManagedChannel channel;

    /** `target` is host:port of a router that serves without TLS; leave `usePlaintext` out for one that has it. */
    Router(String target) {
        channel = ManagedChannelBuilder.forTarget(target).usePlaintext().build();
    }

    /** Waits for the whole reply. */
    CreateChatCompletionResponse chat(String key, ChatCompletionRequest chat, Duration patience) {
        CreateChatCompletionRequest request = CreateChatCompletionRequest.newBuilder().setChat(chat).build();
        return stub(key, patience).createChatCompletion(request);
    }

    /**
     * Gives the text to `onText` as it comes. A stream that breaks off throws the fault that it ended in; one that `onText`
     * leaves by throwing is cancelled.
     */
    StreamSummary stream(String key, ChatCompletionRequest chat, Duration patience, Consumer<String> onText) {
        StreamChatCompletionRequest request = StreamChatCompletionRequest.newBuilder().setChat(chat).build();
        try (Context.CancellableContext call = Context.current().withCancellation()) {
            Context outside = call.attach();
            try {
                return read(stub(key, patience).streamChatCompletion(request), onText);
            } finally {
                call.detach(outside);
            }
        }
    }

    private static StreamSummary read(Iterator<StreamChatCompletionResponse> events, Consumer<String> onText) {
        StreamSummary summary = null;
        while (events.hasNext()) {
            StreamChatCompletionResponse event = events.next();
            for (ChatCompletionChunk chunk : event.getChunks().getChunksList()) {
                for (ChunkChoice choice : chunk.getChoicesList()) {
                    if (!choice.getDelta().getContent().isEmpty()) {
                        onText.accept(choice.getDelta().getContent());
                    }
                }
            }
            // What no typed chunk can hold comes as JSON to everybody.
            for (ByteString json : event.getChunksJson().getChunksList()) {
                System.err.println("a chunk that is only JSON: " + json.toStringUtf8());
            }
            if (event.hasSummary()) {
                summary = event.getSummary();
            } // `served` is passed over here, and so is what a newer router may send.
        }
        if (summary == null) {
            throw new Unexpected("the stream ended in OK without a summary");
        }
        return summary;
    }

    /** Why the router refused; empty where the router did not speak: gRPC itself did, or something between. */
    static Optional<ErrorInfo> errorInfoOf(StatusRuntimeException error) {
        byte[] details = error.getTrailers() == null ? null : error.getTrailers().get(DETAILS);
        try {
            checkrein.clients.Status told = checkrein.clients.Status.parseFrom(details == null ? new byte[0] : details);
            for (Detail detail : told.getDetailsList()) {
                if (detail.getTypeUrl().endsWith("/google.rpc.ErrorInfo")) {
                    return Optional.of(ErrorInfo.parseFrom(detail.getValue()));
                }
            }
        } catch (InvalidProtocolBufferException notTheRouters) {
            return Optional.empty();
        }
        return Optional.empty();
    }

    @Override
    public void close() {
        channel.shutdownNow();
    }

    private ChatServiceGrpc.ChatServiceBlockingStub stub(String key, Duration patience) {
        Metadata metadata = new Metadata();
        metadata.put(AUTHORIZATION, "Bearer " + key);
        return ChatServiceGrpc.newBlockingStub(channel)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata))
                .withDeadlineAfter(patience.toMillis(), TimeUnit.MILLISECONDS);
    }
}
