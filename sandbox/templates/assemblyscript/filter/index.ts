// An Envoy Wasm filter in AssemblyScript: it puts a greeting on every request to the upstream and on every response. What it
// exports here Envoy calls; what it asks of Envoy is in envoy.ts.
import { CONTINUE, Headers, Level, log, pluginConfiguration, replaceHeader } from "./envoy";

export { proxy_abi_version_0_2_1, proxy_on_memory_allocate } from "./envoy";

const HEADER = String.UTF8.encode("x-wasm-filter");

/** The filter with one configuration. A swap can leave that of before beside that of now. */
class Plugin {
  greeting: ArrayBuffer = String.UTF8.encode("hello from my filter");
}

/** One request and its response. What the response has to know of the request is kept here. */
class Exchange {
  constructor(public plugin: Plugin) {}
}

const plugins = new Map<u32, Plugin>();
const exchanges = new Map<u32, Exchange>();

/** Envoy has made a context: a plugin, which has no parent, or an exchange, whose parent is its plugin. */
export function proxy_on_context_create(id: u32, parent: u32): void {
  if (parent == 0) {
    plugins.set(id, new Plugin());
  } else {
    exchanges.set(id, new Exchange(plugins.get(parent)));
  }
}

/** A context is over. */
export function proxy_on_delete(id: u32): void {
  exchanges.delete(id);
  plugins.delete(id);
}

/**
 * The plugin configuration of envoy/xds/filter.yaml; for this filter it is the greeting itself. False refuses it: Envoy goes on
 * with the filter that it had.
 */
export function proxy_on_configure(id: u32, size: usize): bool {
  const text = pluginConfiguration(size);
  if (text === null) {
    log(Level.Error, "the configuration can't be read");
    return false;
  }
  const greeting = text.trimEnd();
  for (let i = 0; i < greeting.length; i++) {
    const code = greeting.charCodeAt(i);
    if (code < 0x20 || code > 0x7e) {
      log(Level.Error, "the configuration must be a line of printable ASCII");
      return false;
    }
  }
  if (greeting.length > 0) plugins.get(id).greeting = String.UTF8.encode(greeting);
  log(Level.Info, "started");
  return true;
}

/** May read and change what the upstream gets. */
export function proxy_on_request_headers(id: u32, _count: i32, _isEnd: bool): i32 {
  return greet(id, Headers.Request);
}

/** May read and change what the client gets. */
export function proxy_on_response_headers(id: u32, _count: i32, _isEnd: bool): i32 {
  return greet(id, Headers.Response);
}

/** Replace, because the other side may have sent such a header. A filter that only adds something fails no request. */
function greet(id: u32, headers: Headers): i32 {
  if (!replaceHeader(headers, HEADER, exchanges.get(id).plugin.greeting)) log(Level.Error, "the greeting can't be set");
  return CONTINUE;
}
