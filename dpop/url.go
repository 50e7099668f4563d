package dpop

func newBase(url string) (string, error) { return url, nil }
