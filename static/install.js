// The first superuser: the link that the server prints at its start (#/pbinstall/TOKEN) leads here.
// The token in the link is that of a helper account; it may create the superuser and dies with that.

const [, token] = location.hash.match(/^#\/pbinstall\/([\w.-]+)$/) ?? [];
if (token) {
  show(form());
}

function show(...nodes) {
  document.querySelector("main").replaceChildren(...nodes);
}

function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function form() {
  const email = element("input", { type: "email", name: "email", required: true, autocomplete: "username" });
  const password = element("input", {
    type: "password", name: "password", required: true, minLength: 8, autocomplete: "new-password",
  });
  const again = element("input", { type: "password", required: true, autocomplete: "new-password" });
  const button = element("button", {}, "Create superuser");
  const problem = element("p");
  problem.setAttribute("role", "alert");

  const node = element(
    "form", {},
    element("h1", {}, "Create your first superuser"),
    element("label", {}, "E-mail", email),
    element("label", {}, "Password (at least 8 characters)", password),
    element("label", {}, "Password again", again),
    problem,
    button,
  );
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.textContent = "";
    try {
      await create(email.value, password.value, again.value);
      history.replaceState(null, "", location.pathname);
      show(
        element("h1", {}, "Done"),
        element("p", {}, `${email.value} is a superuser now. The link that brought you here no longer works.`),
      );
    } catch (error) {
      problem.textContent = error.message;
      button.disabled = false;
    }
  });
  return node;
}

async function create(email, password, passwordConfirm) {
  const response = await fetch("/api/collections/_superusers/records", {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: token },
    body: JSON.stringify({ email, password, passwordConfirm }),
  });
  if (response.ok) return;
  const { message, data } = await response.json().catch(() => ({}));
  if (response.status === 401 || response.status === 403) {
    throw new Error("This link is no longer good. Restart the server for a new one.");
  }
  const details = Object.entries(data ?? {}).map(([field, error]) => `${field}: ${error.message}`);
  throw new Error(details.join("\n") || message || `The server answered ${response.status}.`);
}
