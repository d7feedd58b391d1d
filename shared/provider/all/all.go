// Package all lists the providers that call back. A new one is a folder beside it and a line in Providers.
package all

import (
	"ringback/shared/provider"
	"ringback/shared/provider/direct"
	"ringback/shared/provider/smartbots"
	"ringback/shared/provider/tencentchat"
)

// Providers returns the providers by the name that stands in callback URLs, sources and events.
func Providers() map[string]provider.Provider {
	return map[string]provider.Provider{
		"direct":       direct.Provider{},
		"smartbots":    smartbots.Provider{},
		"tencent-chat": tencentchat.Provider{},
	}
}
