// What Envoy and a filter say to each other, as the proxy-wasm ABI 0.2.1 has it: as far as index.ts needs it. Texts go over as
// address and length of their UTF-8 in this module's memory.

// @ts-ignore: decorator
@external("env", "proxy_log")
declare function proxyLog(level: i32, text: usize, size: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_buffer_bytes")
declare function proxyGetBufferBytes(buffer: i32, start: usize, max: usize, data: usize, size: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_replace_header_map_value")
declare function proxyReplaceHeader(map: i32, name: usize, nameSize: usize, value: usize, valueSize: usize): i32;

const PLUGIN_CONFIGURATION = 7;
const OK = 0;

export enum Level { Info = 2, Warn = 3, Error = 4 }
export enum Headers { Request = 0, Response = 2 }

/** Of a callback: the message goes on. */
export const CONTINUE: i32 = 0;

/** Writes a line into Envoy's log. */
export function log(level: Level, text: string): void {
  const bytes = String.UTF8.encode(text);
  proxyLog(level, changetype<usize>(bytes), bytes.byteLength);
}

/** Puts a header in place of all of that name; false if Envoy refused. */
export function replaceHeader(headers: Headers, name: ArrayBuffer, value: ArrayBuffer): bool {
  const result = proxyReplaceHeader(
    headers, changetype<usize>(name), name.byteLength, changetype<usize>(value), value.byteLength);
  return result == OK;
}

// Where a call leaves address and size of what it hands over.
const answer = memory.data(8);

/** The plugin configuration of envoy/xds/filter.yaml, `size` bytes long; null if it can't be had. */
export function pluginConfiguration(size: usize): string | null {
  if (size == 0) return "";
  if (proxyGetBufferBytes(PLUGIN_CONFIGURATION, 0, size, answer, answer + 4) != OK) return null;
  const data = <usize>load<u32>(answer);
  const text = String.UTF8.decodeUnsafe(data, load<u32>(answer + 4));
  heap.free(data); // what Envoy hands over is ours to free
  return text;
}

/** Memory for what Envoy hands over. */
export function proxy_on_memory_allocate(size: usize): usize {
  return heap.alloc(size);
}

/** A module says which ABI it speaks by having this. */
export function proxy_abi_version_0_2_1(): void {}

/** In place of AssemblyScript's own, which Envoy does not have: a failed assertion, an index out of range, no memory. */
// @ts-ignore: decorator
@global
function abort(message: string | null, file: string | null, line: u32, _column: u32): void {
  log(Level.Error, `${message ? message : "aborted"} at ${file ? file : "?"}:${line}`);
  unreachable(); // Envoy then starts the filter anew, by its failure_policy
}
