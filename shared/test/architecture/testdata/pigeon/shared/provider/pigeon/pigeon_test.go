package pigeon_test

import (
	"testing"

	"ringback/shared/provider"
	"ringback/shared/provider/pigeon"
	"ringback/shared/provider/providertest"
)

func TestCallbacksMeanWhatTheirFilesSay(t *testing.T) {
	providertest.Provider(t, providertest.ProviderTest{
		Provider: pigeon.Provider{}, Dir: "testdata", Header: []string{"Authorization"},
		Credentials: provider.Credentials{Basic: []provider.Login{{Name: "loft", Password: "seed"}}},
	})
}
