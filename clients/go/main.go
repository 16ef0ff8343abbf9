// Asks a router four times over gRPC and prints what came back: ../README.md has what must be set and what is printed.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	checkrein "checkrein/v1"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	patience = 10 * time.Second
	short    = 300 * time.Millisecond
)

var errAnswered = errors.New("it was answered")

// Go prints statuses as DeadlineExceeded; these are gRPC's own names, in the order of their numbers.
var names = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	target, err := required("CHECKREIN_TARGET")
	if err != nil {
		return fmt.Errorf("start: FAILED: %w", err)
	}
	router, err := Connect(target)
	if err != nil {
		return fmt.Errorf("start: FAILED: %w", err)
	}
	defer router.Close()
	steps := []struct {
		name string
		run  func(*Router) error
	}{{"chat", chat}, {"stream", stream}, {"refused", refused}, {"deadline", deadline}}
	for _, step := range steps {
		if err := step.run(router); err != nil {
			return fmt.Errorf("%s: FAILED: %s", step.name, said(err))
		}
	}
	return nil
}

func chat(router *Router) error {
	key, err := required("CHECKREIN_API_KEY")
	if err != nil {
		return err
	}
	reply, err := router.Chat(key, sayHello(model()), patience)
	if err != nil {
		return err
	}
	choices := reply.GetCompletion().GetChoices()
	if len(choices) == 0 || choices[0].GetMessage().GetContent().GetKind() == nil {
		return fmt.Errorf("a reply without a text: %v", reply)
	}
	fmt.Println("chat:", choices[0].GetMessage().GetContent().GetText())
	return nil
}

func stream(router *Router) error {
	key, err := required("CHECKREIN_API_KEY")
	if err != nil {
		return err
	}
	fmt.Print("stream: ")
	summary, err := router.Stream(key, sayHello(model()), patience, func(text string) { fmt.Print(text) })
	fmt.Println()
	if err != nil {
		return err
	}
	cost := "unknown"
	if summary.GetCost().TotalNanoUsd != nil {
		cost = fmt.Sprint(summary.GetCost().GetTotalNanoUsd())
	}
	fmt.Printf("usage: %d input, %d output\n", summary.GetUsage().GetInputTokens(), summary.GetUsage().GetOutputTokens())
	fmt.Printf("cost: %s nano-USD\n", cost)
	return nil
}

func refused(router *Router) error {
	key, err := required("CHECKREIN_BROKE_KEY")
	if err != nil {
		return err
	}
	_, err = router.Chat(key, sayHello(model()), patience)
	if err == nil {
		return errAnswered
	}
	reason := errorInfoOf(err).GetReason()
	if status.Code(err) != codes.ResourceExhausted || reason != "BUDGET_EXHAUSTED" {
		return err
	}
	fmt.Printf("refused: %s\nmessage: %s\n", reason, status.Convert(err).Message())
	return nil
}

func deadline(router *Router) error {
	key, err := required("CHECKREIN_API_KEY")
	if err != nil {
		return err
	}
	slow, err := required("CHECKREIN_SLOW_MODEL")
	if err != nil {
		return err
	}
	_, err = router.Chat(key, sayHello(slow), short)
	if err == nil {
		return errAnswered
	}
	if status.Code(err) != codes.DeadlineExceeded {
		return err
	}
	fmt.Println("deadline:", names[codes.DeadlineExceeded])
	return nil
}

func sayHello(model string) *checkrein.ChatCompletionRequest {
	role := "user"
	content := &checkrein.ChatContent{Kind: &checkrein.ChatContent_Text{Text: "Say hello."}}
	message := &checkrein.ChatMessage{Role: &role, Content: content}
	return &checkrein.ChatCompletionRequest{Model: &model, Messages: []*checkrein.ChatMessage{message}}
}

func model() string {
	if name := os.Getenv("CHECKREIN_MODEL"); name != "" {
		return name
	}
	return "demo"
}

func required(name string) (string, error) {
	value := os.Getenv(name)
	if value == "" {
		return "", fmt.Errorf("%s is not set", name)
	}
	return value, nil
}

func said(err error) string {
	told, ok := status.FromError(err)
	if !ok || int(told.Code()) >= len(names) {
		return err.Error()
	}
	return names[told.Code()] + ": " + told.Message()
}
