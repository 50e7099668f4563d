// Command hydra is Ory Hydra, at the version of this go.mod.
package main

import "github.com/ory/hydra/v2/cmd"

func main() { cmd.Execute() }
