// An Envoy Wasm filter in plain C: it puts a greeting on every request to the upstream and on every response. There is no SDK and
// no C library in it: below is all that Envoy and a filter say to each other, as the proxy-wasm ABI 0.2.1 has it.
#include <stddef.h>
#include <stdint.h>

// What Envoy offers. Texts go over as address and length in this module's memory.
#define ENVOY(name) extern __attribute__((import_module("env"), import_name(#name))) int32_t name
ENVOY(proxy_log)(int32_t level, const char *text, size_t size);
ENVOY(proxy_get_buffer_bytes)(int32_t buffer, size_t start, size_t max, char **data, size_t *size);
ENVOY(proxy_replace_header_map_value)(int32_t map, const char *name, size_t name_size, const char *value, size_t value_size);

// The ABI's numbers for that.
enum { LOG_INFO = 2, LOG_ERROR = 4 };
enum { REQUEST_HEADERS = 0, RESPONSE_HEADERS = 2 };
enum { PLUGIN_CONFIGURATION = 7 };
enum { OK = 0 };        // of what Envoy was asked for
enum { CONTINUE = 0 };  // of a callback: the message goes on

#define LOG(level, text) proxy_log(level, text, sizeof text - 1)
#define EXPORT(name) __attribute__((export_name(#name))) name

// A module says which ABI it speaks by having this.
void EXPORT(proxy_abi_version_0_2_1)(void) {}

// Memory for what Envoy hands over, and for contexts: one piece after the other. A callback gives back what it was handed.
static _Alignas(16) char memory[1 << 20];
static size_t used;

void *EXPORT(proxy_on_memory_allocate)(size_t size) {
	size = (size + 15) & ~(size_t)15;
	if (size > sizeof memory - used) return NULL;  // then Envoy says in its log that the call failed
	used += size;
	return memory + used - size;
}

// A context is the filter with one configuration (it has no parent; a swap can leave that of before beside that of now), or one
// request with its response (its parent is the filter). What is to be remembered of either has its place here.
struct context {
	uint32_t id;
	struct context *parent, *next;
	size_t greeting_size;
	char greeting[96];
};
static struct context *contexts[1024], *spare;

static struct context **find(uint32_t id) {
	struct context **place = &contexts[id % 1024];
	while (*place && (*place)->id != id) place = &(*place)->next;
	return place;
}

void EXPORT(proxy_on_context_create)(uint32_t id, uint32_t parent) {
	struct context **place = find(id), *new = spare ? spare : proxy_on_memory_allocate(sizeof *new);
	if (!new) __builtin_trap();  // Envoy then starts the filter anew, by its failure_policy
	if (spare) spare = spare->next;
	*new = (struct context){.id = id, .parent = *find(parent)};
	*place = new;
}

void EXPORT(proxy_on_delete)(uint32_t id) {
	struct context **place = find(id), *old = *place;
	*place = old->next;
	old->next = spare, spare = old;
}

// The plugin configuration of envoy/xds/filter.yaml; for this filter it is the greeting itself. 0 refuses it: Envoy goes on with
// the filter that it had.
int32_t EXPORT(proxy_on_configure)(uint32_t id, size_t size) {
	static char standard[] = "hello from my filter";
	struct context *plugin = *find(id);
	char *text = standard;
	size_t before = used;
	if (size == 0) {
		size = sizeof standard - 1;
	} else if (proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, &text, &size) != OK) {
		LOG(LOG_ERROR, "the configuration can't be read");
		return 0;
	}
	used = before;  // what was handed over is still there until Envoy is asked for more
	while (size > 0 && text[size - 1] == '\n') size--;
	if (size > sizeof plugin->greeting) {
		LOG(LOG_ERROR, "the configuration is longer than a greeting");
		return 0;
	}
	for (size_t i = 0; i < size; i++) {
		if (text[i] < ' ' || text[i] > '~') {
			LOG(LOG_ERROR, "the configuration must be a line of printable ASCII");
			return 0;
		}
		plugin->greeting[i] = text[i];
	}
	plugin->greeting_size = size;
	LOG(LOG_INFO, "started");
	return 1;
}

// Replace, because the other side may have sent such a header. A filter that only adds something fails no request.
static int32_t greet(uint32_t id, int32_t headers) {
	const struct context *plugin = (*find(id))->parent;
	if (proxy_replace_header_map_value(headers, "x-wasm-filter", 13, plugin->greeting, plugin->greeting_size) != OK)
		LOG(LOG_ERROR, "the greeting can't be set");
	return CONTINUE;
}

int32_t EXPORT(proxy_on_request_headers)(uint32_t id, int32_t count, int32_t is_end) {
	(void)count, (void)is_end;
	return greet(id, REQUEST_HEADERS);
}

int32_t EXPORT(proxy_on_response_headers)(uint32_t id, int32_t count, int32_t is_end) {
	(void)count, (void)is_end;
	return greet(id, RESPONSE_HEADERS);
}
