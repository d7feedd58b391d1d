package gateway

// steps are those of the jobs of what the API does.
func (g *Gateway) steps() map[JobKind]Step {
	return map[JobKind]Step{
		JobRemoval: g.removalStep,
		JobCode:    g.codeStep,
		JobErasure: g.erasureStep,
		JobReseal:  g.resealStep,
	}
}
