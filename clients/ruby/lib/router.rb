# frozen_string_literal: true

# The calls that this client makes of a router, and what its refusals say.

require 'google/protobuf/well_known_types'
require 'google/rpc/error_details_pb'
require 'grpc'
require 'checkrein/v1/chat_service_services_pb'

# A call went otherwise than it should.
class Unexpected < StandardError; end

# A router that serves without TLS.
class Router
  V1 = Checkrein::V1

  # `target` is host:port. For a router that serves TLS: GRPC::Core::ChannelCredentials.new.
  def initialize(target)
    @stub = V1::ChatService::Stub.new(target, :this_channel_is_insecure)
  end

  # Waits for the whole reply. Raises GRPC::BadStatus.
  def chat(key, chat, patience_s)
    request = V1::CreateChatCompletionRequest.new(chat: chat)
    @stub.create_chat_completion(request, **of_call(key, patience_s))
  end

  # Yields the text as it comes and returns the summary. A stream that breaks off raises the fault that it ended in; one
  # that the block leaves is cancelled.
  def stream(key, chat, patience_s, &on_text)
    request = V1::StreamChatCompletionRequest.new(chat: chat)
    call = @stub.stream_chat_completion(request, **of_call(key, patience_s), return_op: true)
    summary = nil
    call.execute.each do |event|
      case event.event
      when :chunks then texts_of(event.chunks).each(&on_text)
      # What no typed chunk can hold comes as JSON to everybody.
      when :chunks_json then event.chunks_json.chunks.each { |json| warn "a chunk that is only JSON: #{json}" }
      when :summary then summary = event.summary
      end # `served` is passed over here, and so is what a newer router may send.
    end
    summary or raise Unexpected, 'the stream ended in OK without a summary'
  ensure
    call&.cancel
  end

  # Why the router refused; nil where the router did not speak: gRPC itself did, or something between.
  def self.error_info_of(error)
    detail = error.to_rpc_status&.details&.find { |one| one.is(Google::Rpc::ErrorInfo) }
    detail&.unpack(Google::Rpc::ErrorInfo)
  end

  private

  def of_call(key, patience_s)
    { metadata: { 'authorization' => "Bearer #{key}" }, deadline: Time.now + patience_s }
  end

  def texts_of(list)
    list.chunks.flat_map { |chunk| chunk.choices.map { |choice| choice.delta&.content.to_s } }.reject(&:empty?)
  end
end
