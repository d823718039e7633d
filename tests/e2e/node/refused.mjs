// A call that is refused: which exception, with which details.
import OpenAI from "openai";

const client = new OpenAI();
try {
  await client.chat.completions.create({
    model: "paid/echo",
    messages: [{ role: "user", content: "Say hello" }],
  });
  console.log(JSON.stringify({ class: null }));
} catch (error) {
  console.log(
    JSON.stringify({
      class: error.constructor.name,
      status: error.status,
      type: error.type,
      code: error.code,
      request_id: error.requestID,
    }),
  );
}
