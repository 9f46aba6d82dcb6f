// Shows every change of a collection as it happens, and adds to it: /_/example.html?collection=messages
const collection = new URLSearchParams(location.search).get("collection") ?? "messages";
const [state, form, list] = ["output", "form", "ol"].map((name) => document.querySelector(name));
const post = (path, body) =>
  fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

const stream = new EventSource("/api/realtime");
stream.addEventListener("error", () => (state.textContent = "waiting for the server"));
stream.addEventListener("PB_CONNECT", async ({ lastEventId: clientId }) => {
  const { ok } = await post("/api/realtime", { clientId, subscriptions: [`${collection}/*`] });
  state.textContent = ok ? "connected" : "refused";
});
stream.addEventListener(`${collection}/*`, ({ data }) => {
  const { action, record } = JSON.parse(data);
  const item = document.createElement("li");
  item.textContent = `${action} ${record.text ?? record.id}`;
  list.prepend(item);
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await post(`/api/collections/${collection}/records`, { text: form.elements.text.value });
  if (answer.ok) form.reset();
  else state.textContent = (await answer.json()).message;
});
