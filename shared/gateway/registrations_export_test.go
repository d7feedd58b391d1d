package gateway

// Hints returns the keys of the match index entries that r needs.
func Hints(r Registration) []Key {
	var keys []Key
	for _, h := range r.published() {
		keys = append(keys, hintKey(r.Source, h.RoutingKey, h.Pattern, r.ID))
	}
	return keys
}
