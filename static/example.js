// Shows every change of a collection as it happens: /_/example.html?collection=NAME ("messages" if there is no name).
const collection = new URLSearchParams(location.search).get("collection") ?? "messages";
const topic = `${collection}/*`;
const status = document.querySelector("output");

const stream = new EventSource("/api/realtime");
stream.addEventListener("PB_CONNECT", async ({ lastEventId: clientId }) => {
  const response = await fetch("/api/realtime", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ clientId, subscriptions: [topic] }),
  });
  status.textContent = response.ok ? `Listening to ${topic}` : `Refused: ${response.status}`;
});
stream.addEventListener(topic, ({ data }) => {
  const { action, record } = JSON.parse(data);
  const line = document.createElement("li");
  line.textContent = `${action} ${JSON.stringify(record)}`;
  document.querySelector("ol").prepend(line);
});
