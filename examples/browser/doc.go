// Package browser tests the quickstart in a headless Chromium, as a user would use
// it. The tests log in, consent, run the trials and read the results on the page.
//
//	go test -tags browser ./browser
//
// On Debian, you can install Chromium with
//
//	apt-get update && apt-get install -y --no-install-recommends chromium
//
// After the tests, the directory screenshots has images of every page, for a desktop
// and a phone, light and dark.
package browser
