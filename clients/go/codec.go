package main

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// codec is what gRPC has had itself since 1.34: Debian's is older and knows only messages of the older generator.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(value interface{}) ([]byte, error) {
	message, ok := value.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", value)
	}
	return proto.Marshal(message)
}

func (codec) Unmarshal(data []byte, value interface{}) error {
	message, ok := value.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", value)
	}
	return proto.Unmarshal(data, message)
}
