package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	checkrein "checkrein/v1"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Router is a router that serves without TLS.
type Router struct {
	connection *grpc.ClientConn
	chats      checkrein.ChatServiceClient
}

// Connect takes host:port. For a router that serves TLS: grpc.WithTransportCredentials(credentials.NewTLS(nil)).
func Connect(target string) (*Router, error) {
	connection, err := grpc.Dial(target, grpc.WithInsecure(), grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{})))
	if err != nil {
		return nil, err
	}
	return &Router{connection: connection, chats: checkrein.NewChatServiceClient(connection)}, nil
}

// Close ends whatever is still open.
func (r *Router) Close() error {
	return r.connection.Close()
}

// Chat waits for the whole reply.
func (r *Router) Chat(
	key string, chat *checkrein.ChatCompletionRequest, patience time.Duration,
) (*checkrein.CreateChatCompletionResponse, error) {
	ctx, cancel := ofCall(key, patience)
	defer cancel()
	body := &checkrein.CreateChatCompletionRequest_Chat{Chat: chat}
	return r.chats.CreateChatCompletion(ctx, &checkrein.CreateChatCompletionRequest{Body: body})
}

// Stream gives the text to onText as it comes. A stream that breaks off returns the fault that it ended in.
func (r *Router) Stream(
	key string, chat *checkrein.ChatCompletionRequest, patience time.Duration, onText func(string),
) (*checkrein.StreamSummary, error) {
	ctx, cancel := ofCall(key, patience)
	defer cancel()
	body := &checkrein.StreamChatCompletionRequest_Chat{Chat: chat}
	events, err := r.chats.StreamChatCompletion(ctx, &checkrein.StreamChatCompletionRequest{Body: body})
	if err != nil {
		return nil, err
	}
	var summary *checkrein.StreamSummary
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, chunk := range event.GetChunks().GetChunks() {
			for _, choice := range chunk.GetChoices() {
				if text := choice.GetDelta().GetContent(); text != "" {
					onText(text)
				}
			}
		}
		// What no typed chunk can hold comes as JSON to everybody.
		for _, json := range event.GetChunksJson().GetChunks() {
			fmt.Fprintf(os.Stderr, "a chunk that is only JSON: %s\n", json)
		}
		if last := event.GetSummary(); last != nil {
			summary = last
		} // `served` is passed over here, and so is what a newer router may send.
	}
	if summary == nil {
		return nil, errors.New("the stream ended in OK without a summary")
	}
	return summary, nil
}

// errorInfoOf tells why the router refused; nil where the router did not speak: gRPC itself did, or something between.
func errorInfoOf(err error) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

func ofCall(key string, patience time.Duration) (context.Context, context.CancelFunc) {
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+key)
	return context.WithTimeout(ctx, patience)
}
