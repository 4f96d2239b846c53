// Shows /majula/openapi.json. Everything from the document becomes text nodes: nothing of it is ever read as HTML.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

// `code` in backticks, the rest as it is.
function prose(text) {
  return text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));
}

function resolve(spec, value) {
  let found = value;
  for (let depth = 0; found && found.$ref && depth < 8; depth += 1) {
    found = found.$ref.slice(2).split("/").reduce((node, key) => (node === undefined ? undefined : node[key]), spec);
  }
  return found || {};
}

function typeOf(spec, schema, depth = 0) {
  const found = resolve(spec, schema);
  if (depth > 3) return "…";
  if (found.enum) return found.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (found.anyOf) {
    const types = new Set(found.anyOf.map((one) => typeOf(spec, one, depth + 1)));
    if (!found.type) return [...types].join(" | ");
  }
  if (found.type === "array") return `list of ${typeOf(spec, found.items || {}, depth + 1)}`;
  if (found.title === "Json") return "any JSON";
  if (found.type === "object" && found.title) return found.title;
  return Array.isArray(found.type) ? found.type.join(" | ") : found.type || "any";
}

function bounds(schema) {
  const said = [];
  if (schema.minimum !== undefined || schema.maximum !== undefined) {
    said.push(`${schema.minimum ?? ""}…${schema.maximum ?? ""}`);
  }
  if (schema.maxLength) said.push(`at most ${schema.maxLength} characters`);
  if (schema.maxItems) said.push(`at most ${schema.maxItems}`);
  if (schema.default !== undefined && schema.default !== null && schema.default !== "") {
    said.push(`default ${JSON.stringify(schema.default)}`);
  }
  return said.length ? ` (${said.join(", ")})` : "";
}

function fieldsTable(spec, caption, fields) {
  if (!fields.length) return null;
  const rows = fields.map(({ name, place, required, schema, description }) => {
    const known = resolve(spec, schema);
    const star = required ? element("span", { class: "must", title: "must be there" }, " *") : null;
    return element(
      "tr",
      {},
      element("td", {}, element("code", {}, name), ...(star ? [star] : [])),
      element("td", {}, place),
      element("td", {}, typeOf(spec, schema) + bounds(known)),
      element("td", {}, ...prose(description || "")),
    );
  });
  const head = element("tr", {}, ...[caption, "in", "type", "meaning"].map((one) => element("th", {}, one)));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

function bodyFields(spec, operation) {
  const schema = operation.requestBody && operation.requestBody.content["application/json"].schema;
  const found = resolve(spec, schema);
  const required = new Set(found.required || []);
  return Object.entries(found.properties || {}).map(([name, one]) => ({
    name, place: "body", required: required.has(name), schema: one, description: one.description,
  }));
}

function example(spec, schema) {
  const found = resolve(spec, schema);
  if (found.default !== undefined && found.default !== null && found.default !== "") return found.default;
  if (found.enum) return found.enum[0];
  const type = Array.isArray(found.type) ? found.type[0] : found.type;
  if (type === "integer" || type === "number") return found.minimum ?? 1;
  if (type === "boolean") return true;
  if (type === "array") return found.minItems === 0 ? [] : [example(spec, found.items || {})];
  if (type === "object" || found.anyOf) return {};
  return "example";
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

// A line for a shell; what must be given stands in it, the rest is left to its default.
function curl(spec, path, method, operation) {
  let url = path;
  const query = new URLSearchParams();
  for (const one of operation.parameters || []) {
    const value = String(example(spec, one.schema));
    if (one.in === "path") url = url.replace(`{${one.name}}`, encodeURIComponent(value));
    else if (one.in === "query" && one.required) query.set(one.name, value);
  }
  if (query.size) url += `?${query}`;
  const streams = Object.values(operation.responses).some((one) => one.content && one.content["text/event-stream"]);
  const words = ["curl", streams ? "-sN" : "-s"];
  const security = operation.security || spec.security || [];
  if (security.some((one) => one.token)) words.push("-H", `"Authorization: Bearer $MAJULA_TOKEN"`);
  const secret = (operation.parameters || []).find((one) => one.name === "Majula-Session");
  if (secret && secret.required) words.push("-H", `"Majula-Session: $SECRET"`);
  const fields = bodyFields(spec, operation);
  if (operation.requestBody) {
    const body = Object.fromEntries(fields.filter((one) => one.required).map((one) => [one.name, example(spec, one.schema)]));
    if (method !== "post") words.push("-X", method.toUpperCase());
    words.push("--json", quoted(JSON.stringify(body)));
  } else if (method !== "get") {
    words.push("-X", method.toUpperCase());
  }
  words.push(quoted(location.origin + url));
  return words.join(" ");
}

function answers(spec, operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const found = resolve(spec, response);
    const content = Object.entries(found.content || {})[0];
    const shape = content ? `${content[0]}: ${typeOf(spec, content[1].schema)}` : "";
    return element(
      "tr", {}, element("td", {}, element("code", {}, status)), element("td", {}, ...prose(found.description || "")),
      element("td", {}, shape),
    );
  });
  const head = element("tr", {}, ...["status", "meaning", "body"].map((one) => element("th", {}, one)));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

function answerFields(spec, operation) {
  const good = Object.entries(operation.responses).find(([status, one]) => status.startsWith("2") && one.content);
  const schema = good && good[1].content["application/json"] && good[1].content["application/json"].schema;
  const found = resolve(spec, schema);
  return Object.entries(found.properties || {}).map(([name, one]) => ({
    name, place: good[0], required: false, schema: one, description: one.description || resolve(spec, one).description,
  }));
}

function shown(spec, path, method, operation) {
  const parameters = (operation.parameters || []).map((one) => ({ ...one, place: one.in }));
  const line = curl(spec, path, method, operation);
  const copy = element("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(line);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Select it by hand";
    }
  });
  const body = element("div", { class: "body" });
  if (operation.description) body.append(element("p", {}, ...prose(operation.description)));
  const notes = [];
  if (operation["x-websocket-method"]) notes.push("WebSocket: ", element("code", {}, operation["x-websocket-method"]), ". ");
  if (operation["x-command"]) notes.push("Command line: ", element("code", {}, operation["x-command"]), ".");
  if (notes.length) body.append(element("p", {}, ...notes));
  const given = fieldsTable(spec, "parameter", [...parameters, ...bodyFields(spec, operation)]);
  if (given) body.append(given);
  body.append(element("div", { class: "try" }, element("pre", {}, line), copy));
  const told = fieldsTable(spec, "in the answer", answerFields(spec, operation));
  if (told) body.append(told);
  body.append(answers(spec, operation));
  const head = element(
    "summary", {},
    element("span", { class: `method ${method}` }, method.toUpperCase()),
    element("code", { class: "path" }, path),
    element("span", { class: "what" }, operation.summary || ""),
  );
  if (operation["x-not-built"]) head.append(element("span", { class: "tag" }, "not built yet"));
  const details = element("details", { id: operation.operationId }, head, body);
  details.dataset.text = `${method} ${path} ${operation.operationId} ${operation.summary} ${[...parameters, ...bodyFields(spec, operation)]
    .map((one) => one.name).join(" ")}`.toLowerCase();
  details.dataset.later = operation["x-not-built"] ? "yes" : "no";
  return details;
}

function show(spec) {
  document.getElementById("version").textContent = spec.info.version;
  document.getElementById("about").append(
    ...spec.info.description.split("\n\n").map((text) => element("p", {}, ...prose(text.replaceAll("\n", " ")))),
  );
  const groups = new Map();
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const method of METHODS.filter((one) => methods[one])) {
      const operation = methods[method];
      const circle = path.startsWith("/majula/v1/") ? "" : "inner circle";
      const name = operation["x-not-built"] ? "later" : circle || (operation.tags || ["node"])[0];
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(shown(spec, path, method, operation));
    }
  }
  const rooms = document.getElementById("rooms");
  const operations = document.getElementById("operations");
  const order = [...groups.keys()].sort((a, b) => ["inner circle", "later"].indexOf(a) - ["inner circle", "later"].indexOf(b) || a.localeCompare(b));
  for (const name of order) {
    const id = `room-${name.replaceAll(" ", "-")}`;
    rooms.append(element("a", { href: `#${id}` }, name));
    operations.append(element("section", { id }, element("h2", {}, name), ...groups.get(name)));
  }
  const search = document.getElementById("search");
  const later = document.getElementById("later");
  const narrow = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const one of operations.querySelectorAll("details")) {
      one.hidden = (one.dataset.later === "yes" && !later.checked) || !words.every((word) => one.dataset.text.includes(word));
      count += one.hidden ? 0 : 1;
    }
    for (const section of operations.querySelectorAll("section")) {
      section.hidden = !section.querySelector("details:not([hidden])");
    }
    document.getElementById("state").textContent = `${count} operations`;
  };
  search.addEventListener("input", narrow);
  later.addEventListener("change", narrow);
  narrow();
  const open = () => {
    const wanted = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (wanted instanceof HTMLDetailsElement) wanted.open = true;
  };
  window.addEventListener("hashchange", open);
  open();
}

fetch("/majula/openapi.json")
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`the node answered ${answer.status}`))))
  .then(show)
  .catch((error) => {
    document.getElementById("state").textContent = `The document could not be read: ${error.message}`;
  });
