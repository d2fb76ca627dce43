package plugin

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// shared is a fetch.Cell in Envoy's shared data, which all VMs of one vm_id see; its text is the key.
type shared string

func (s shared) Load() ([]byte, uint32) {
	data, version, err := proxywasm.GetSharedData(string(s))
	if err != nil {
		if err != types.ErrorStatusNotFound {
			proxywasm.LogError("shared data: " + err.Error())
		}
		return nil, 0
	}
	release(data)
	return data, version
}

func (s shared) Swap(data []byte, version uint32) bool {
	err := proxywasm.SetSharedData(string(s), data, version)
	if err != nil && err != types.ErrorStatusCasMismatch {
		proxywasm.LogError("shared data: " + err.Error())
	}
	return err == nil
}
