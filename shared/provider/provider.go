// Package provider lists the providers that call back. A new one is a folder
// here and a line in All.
package provider

import (
	"ringback/shared/gateway"
	"ringback/shared/provider/direct"
	"ringback/shared/provider/smartbots"
	"ringback/shared/provider/tencentchat"
)

// All returns the providers by the name that stands in callback URLs, sources
// and events.
func All() map[string]gateway.Provider {
	return map[string]gateway.Provider{
		"direct":       direct.Provider{},
		"smartbots":    smartbots.Provider{},
		"tencent-chat": tencentchat.Provider{},
	}
}
