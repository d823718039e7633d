// A model server on Node's HTTP parser, told to be lenient, that writes down every request it believes to have received, one
// JSON line each. Prints its port first.
import http from "node:http";

const message = { role: "assistant", content: "ok" };
const answer = JSON.stringify({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, message, finish_reason: "stop" }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
});
const tell = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const server = http.createServer({ insecureHTTPParser: true }, async (request, response) => {
  let body = "";
  try {
    for await (const piece of request) body += piece.toString("latin1");
  } catch {
    return; // A body that breaks off is no request.
  }
  tell({ target: request.url, head: request.rawHeaders.join("\n"), body });
  response.writeHead(200, { "content-type": "application/json", "content-length": answer.length });
  response.end(answer);
});
server.on("clientError", (error, socket) => {
  tell({ target: "?", head: "", body: String(error.code) });
  socket.destroy();
});
server.on("upgrade", (request, socket) => {
  tell({ target: request.url, head: request.rawHeaders.join("\n"), body: "" });
  socket.destroy();
});
server.listen(0, "127.0.0.1", () => tell(server.address().port));
