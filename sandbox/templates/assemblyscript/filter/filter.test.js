// The filter's tests: the compiled module itself, with an Envoy of a few lines in place of the real one.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const module = await WebAssembly.compile(await readFile(new URL("../build/filter.wasm", import.meta.url)));
const [REQUEST, RESPONSE] = [0, 2];

async function load() {
  const envoy = { configuration: "", logged: [], headers: {} };
  const text = (at, size) => new TextDecoder().decode(new Uint8Array(filter.memory.buffer, at, size));
  const env = {
    proxy_log(level, at, size) {
      envoy.logged.push(text(at, size));
      return 0;
    },
    proxy_get_buffer_bytes(_buffer, _start, _max, data, size) {
      const bytes = new TextEncoder().encode(envoy.configuration);
      const at = filter.proxy_on_memory_allocate(bytes.length);
      new Uint8Array(filter.memory.buffer).set(bytes, at);
      new DataView(filter.memory.buffer).setUint32(data, at, true);
      new DataView(filter.memory.buffer).setUint32(size, bytes.length, true);
      return 0;
    },
    proxy_replace_header_map_value(map, name, nameSize, value, valueSize) {
      envoy.headers[map] = [text(name, nameSize), text(value, valueSize)];
      return 0;
    },
  };
  const filter = (await WebAssembly.instantiate(module, { env })).exports;
  filter._initialize();
  envoy.start = (id, configuration) => {
    envoy.configuration = configuration;
    filter.proxy_on_context_create(id, 0);
    return filter.proxy_on_configure(id, new TextEncoder().encode(configuration).length) === 1;
  };
  envoy.pass = (id, plugin) => {
    envoy.headers = {};
    filter.proxy_on_context_create(id, plugin);
    assert.equal(filter.proxy_on_request_headers(id, 1, 1), 0);
    assert.equal(filter.proxy_on_response_headers(id, 1, 1), 0);
    filter.proxy_on_delete(id);
    return envoy.headers;
  };
  envoy.size = () => filter.memory.buffer.byteLength;
  return envoy;
}

test("the greeting is on request and response", async () => {
  const envoy = await load();
  assert.ok(envoy.start(1, "") && envoy.start(2, "good day\n"));
  for (const [plugin, greeting] of [[1, "hello from my filter"], [2, "good day"]]) {
    const header = ["x-wasm-filter", greeting];
    assert.deepEqual(envoy.pass(3, plugin), { [REQUEST]: header, [RESPONSE]: header });
  }
});

test("a mistake in the configuration fails the start", async () => {
  const envoy = await load();
  assert.ok(!envoy.start(1, "two\nlines") && !envoy.start(2, "é"));
  assert.deepEqual(envoy.logged, Array(2).fill("the configuration must be a line of printable ASCII"));
});

test("requests that are over cost no memory", async () => {
  const envoy = await load();
  envoy.start(1, "");
  for (let id = 2; id < 5_000; id++) envoy.pass(id, 1);
  const size = envoy.size();
  for (let id = 5_000; id < 50_000; id++) envoy.pass(id, 1);
  assert.equal(envoy.size(), size);
});
