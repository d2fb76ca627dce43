// The filter's test: a program of this machine, in which an Envoy of a few lines stands in for the real one.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "filter.c"

static const char *configuration;
static char logged[256], header[2][256];

int32_t proxy_log(int32_t level, const char *text, size_t size) {
	snprintf(logged, sizeof logged, "%d %.*s", level, (int)size, text);
	return OK;
}

int32_t proxy_get_buffer_bytes(int32_t buffer, size_t start, size_t max, char **data, size_t *size) {
	assert(buffer == PLUGIN_CONFIGURATION && start == 0 && max == strlen(configuration));
	*data = memcpy(proxy_on_memory_allocate(max), configuration, max), *size = max;
	return OK;
}

int32_t proxy_replace_header_map_value(int32_t map, const char *name, size_t name_size, const char *value, size_t value_size) {
	snprintf(header[map / 2], sizeof header[0], "%.*s: %.*s", (int)name_size, name, (int)value_size, value);
	return OK;
}

static int32_t start(uint32_t id, const char *text) {
	configuration = text;
	proxy_on_context_create(id, 0);
	return proxy_on_configure(id, strlen(text));
}

static void expect(uint32_t stream, uint32_t plugin, const char *want) {
	memset(header, 0, sizeof header);
	proxy_on_context_create(stream, plugin);
	assert(proxy_on_request_headers(stream, 1, 1) == CONTINUE && proxy_on_response_headers(stream, 1, 1) == CONTINUE);
	proxy_on_delete(stream);
	assert(!strcmp(header[0], want) && !strcmp(header[1], want));
}

int main(void) {
	assert(start(1, "") && start(2, "good day\n"));
	expect(3, 1, "x-wasm-filter: hello from my filter");
	expect(1024 + 2, 2, "x-wasm-filter: good day");  // in one row with its plugin
	size_t before = used;
	for (uint32_t id = 4; id < 20000; id++) expect(id, 2, "x-wasm-filter: good day");
	assert(used == before);  // requests that are over cost nothing
	assert(!start(20001, "two\nlines") && !strcmp(logged, "4 the configuration must be a line of printable ASCII"));
	puts("ok");
}
