package groups

const (
	smartBotsAPI = "https://api.mysmartbots.com/api/simple.html"
)
