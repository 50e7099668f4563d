// Package browser tests the quickstart in a headless Chromium, as a person
// would use it: logs in, consents, breaks things and reads what comes of it.
//
//	go test -tags browser ./browser
//
// On Debian, chromium is installed with
//
//	apt-get update && apt-get install -y --no-install-recommends chromium
//
// What every page looked like is in screenshots afterwards: on a desktop and on
// a phone, light and dark.
package browser
