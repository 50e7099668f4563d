package grpcauth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
)

// Covers compares the rules with the methods that are registered on a server. Call it
// after the registration and before Serve:
//
//	drivepb.RegisterDriveServer(server, drive)
//	if err := auth.Covers(server.GetServiceInfo()); err != nil {
//		log.Fatal(err)
//	}
//	log.Fatal(server.Serve(listener))
//
// The error has a line for each registered method without a rule, which would refuse
// every call. It also has a line for each rule whose service or method is not
// registered. Such a rule is a typo, or a leftover of a removed method, and would
// silently apply to a future method of the same name.
func (a *Interceptors) Covers(services map[string]grpc.ServiceInfo) error {
	var faults []error
	registered := map[string]bool{} // by the keys of a.rules
	for service, info := range services {
		registered["/"+service+"/"] = true
		for _, method := range info.Methods {
			registered["/"+service+"/"+method.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(registered)) {
		if _, ok := a.rule(name); !ok && !strings.HasSuffix(name, "/") {
			faults = append(faults, fmt.Errorf("grpcauth: %s is registered and has no rule: %s", name, remedy))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.rules)) {
		if !registered[name] {
			faults = append(faults, errors.New("grpcauth: "+unregistered(name, services)))
		}
	}
	return errors.Join(faults...)
}

// unregistered explains why a rule covers nothing.
func unregistered(name string, services map[string]grpc.ServiceInfo) string {
	service, method, _ := strings.Cut(name[1:], "/")
	if _, ok := services[service]; ok {
		return fmt.Sprintf("there is a rule for %s, but %s has no method %s", name, service, method)
	}
	if method == "" {
		name += "*"
	}
	return fmt.Sprintf("there is a rule for %s, but no service %s is registered", name, service)
}

// Health returns the methods of the standard health service, for Options.Public. Like
// all other methods, these refuse every call if you do not list them.
func Health() []string {
	const service = "/grpc.health.v1.Health/"
	return []string{service + "Check", service + "List", service + "Watch"}
}

// Reflection returns the methods of the reflection services that
// google.golang.org/grpc/reflection.Register adds to a server, for Options.Public.
// Reflection shows every caller which methods there are and what they take. You
// should list these methods only if developers need reflection to write clients.
func Reflection() []string {
	return []string{
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
	}
}
