module github.com/accesstoken/accesstoken/integrations/echo5auth

go 1.26.0

require (
	github.com/accesstoken/accesstoken v0.0.0-00010101000000-000000000000
	github.com/labstack/echo/v5 v5.4.6
)

require (
	code.dny.dev/ssrf v0.3.0 // indirect
	github.com/MicahParks/jwkset v0.11.4 // indirect
	github.com/MicahParks/keyfunc/v3 v3.9.1 // indirect
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)

replace github.com/accesstoken/accesstoken => ../..
