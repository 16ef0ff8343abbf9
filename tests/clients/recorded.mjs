// OpenAI's SDK of Node reads what it is asked to: each line of stdin is a call, each line of stdout what came of it.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../clients/examples/package.json", import.meta.url));
const { OpenAI } = require("openai");

const [url] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: process.env.CHECKREIN_KEY, maxRetries: 0 });

async function outcome(asked) {
  try {
    const { choices } = asked.stream
      ? await client.chat.completions.stream(asked).finalChatCompletion()
      : await client.chat.completions.create(asked);
    const [{ message, finish_reason: finish }] = choices;
    const calls = (message.tool_calls ?? []).map((one) => [one.id, one.function.name, one.function.arguments]);
    return { text: message.content, calls, finish };
  } catch (error) {
    return { error: error.constructor.name, status: error.status, message: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await outcome(JSON.parse(line))));
}
