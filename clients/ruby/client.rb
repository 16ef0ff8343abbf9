# frozen_string_literal: true

# Asks a router four times over gRPC and prints what came back: README.md has what must be set and what is printed.

require 'router'

PATIENCE_S = 10
SHORT_S = 0.3

# One method for each thing that it shows.
class Client
  def initialize
    @router = Router.new(required('CHECKREIN_TARGET'))
  end

  def chat
    reply = @router.chat(required('CHECKREIN_API_KEY'), say_hello, PATIENCE_S)
    content = reply.completion&.choices&.first&.message&.content
    raise Unexpected, "a reply without a text: #{reply.to_json}" unless content&.kind == :text

    puts "chat: #{content.text}"
  end

  def stream
    print 'stream: '
    begin
      summary = @router.stream(required('CHECKREIN_API_KEY'), say_hello, PATIENCE_S) { |text| print text }
    ensure
      puts
    end
    puts "usage: #{summary.usage.input_tokens} input, #{summary.usage.output_tokens} output"
    puts "cost: #{summary.cost.has_total_nano_usd? ? summary.cost.total_nano_usd : 'unknown'} nano-USD"
  end

  def refused
    error = failure_of { @router.chat(required('CHECKREIN_BROKE_KEY'), say_hello, PATIENCE_S) }
    reason = Router.error_info_of(error)&.reason
    raise error unless error.is_a?(GRPC::ResourceExhausted) && reason == 'BUDGET_EXHAUSTED'

    puts "refused: #{reason}", "message: #{error.details}"
  end

  def deadline
    slow = say_hello(required('CHECKREIN_SLOW_MODEL'))
    error = failure_of { @router.chat(required('CHECKREIN_API_KEY'), slow, SHORT_S) }
    raise error unless error.is_a?(GRPC::DeadlineExceeded)

    puts "deadline: #{name_of(error)}"
  end

  private

  def say_hello(model = named('CHECKREIN_MODEL') || 'demo')
    { model: model, messages: [{ role: 'user', content: { text: 'Say hello.' } }] }
  end

  def failure_of
    yield
  rescue GRPC::BadStatus => e
    e
  else
    raise Unexpected, 'it was answered'
  end

  def required(name)
    named(name) or raise Unexpected, "#{name} is not set"
  end

  def named(name)
    ENV.fetch(name, '').then { |value| value.empty? ? nil : value }
  end
end

def name_of(error)
  GRPC::Core::StatusCodes.constants.find { |name| GRPC::Core::StatusCodes.const_get(name) == error.code }
end

$stdout.sync = true
step = :start
begin
  client = Client.new
  %i[chat stream refused deadline].each do |name|
    step = name
    client.public_send(name)
  end
rescue GRPC::BadStatus => e
  abort "#{step}: FAILED: #{name_of(e)}: #{e.details}"
rescue Unexpected => e
  abort "#{step}: FAILED: #{e.message}"
end
