// The unmodified OpenAI SDK of Node: only `baseURL` and the key differ. `node openai_sdk.mjs http://127.0.0.1:8080`

import OpenAI from "openai";

const [url, model = "demo"] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: process.env.CHECKREIN_KEY });
const messages = [{ role: "user", content: "Say hello." }];

const chat = await client.chat.completions.create({ model, messages });
console.log("chat:", chat.choices[0].message.content);

let streamed = "";
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}
console.log("chat, streamed:", streamed);

const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const tools = [{ type: "function", function: { name: "weather", parameters: city } }];
const asked = [{ role: "user", content: "What is the weather in Oslo?" }];
const said = (await client.chat.completions.create({ model, messages: asked, tools })).choices[0].message;
const call = said.tool_calls[0];
console.log("chat, tool:", call.function.name, call.function.arguments);
asked.push(said, { role: "tool", tool_call_id: call.id, content: "sunny in Oslo" });
const answer = await client.chat.completions.create({ model, messages: asked, tools });
console.log("chat, after the tool:", answer.choices[0].message.content);

const response = await client.responses.create({ model, input: "Say hello." });
console.log("responses:", response.output_text, response.usage.output_tokens);

const stream = client.responses.stream({ model, input: "Say hello.", instructions: "Be kind." });
let pieces = "";
for await (const event of stream) {
  if (event.type === "response.output_text.delta") pieces += event.delta;
}
console.log("responses, streamed:", pieces === (await stream.finalResponse()).output_text);

const vectors = await client.embeddings.create({ model, input: ["one", "two"] });
console.log("embeddings:", vectors.data.map((one) => one.embedding.length));
