package otelaccesstoken_test

import (
	"context"
	"fmt"
	"log"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/otelaccesstoken"
)

func ExampleRegister() {
	as, err := accesstokentest.Start() // a program has only what follows
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL, Name: "staff"}},
		HTTPClient: as.Client(),
		OnDecide:   otelaccesstoken.OnDecide,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	reader := metric.NewManualReader(metric.WithProducer(otelaccesstoken.Durations(v))) // usually a PeriodicReader
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	defer provider.Shutdown(context.Background())
	if _, err := otelaccesstoken.Register(v, provider); err != nil {
		log.Fatal(err)
	}

	if _, err := v.Validate(context.Background(), accesstoken.Bearer(as.Token(nil))); err != nil {
		log.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		log.Fatal(err)
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if m.Name == "accesstoken.decisions" {
			fmt.Println(m.Name, m.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
		}
	}
	// Output: accesstoken.decisions 1
}
