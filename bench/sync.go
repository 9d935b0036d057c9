package main

import (
	"context"
	"fmt"
	"time"
)

// measureSync declares a node of 1,000 instances in one call, and then the same again, which must write nothing.
func measureSync(ctx context.Context, cfg *config, t *table) error {
	k, err := startKoine(ctx, cfg)
	if err != nil {
		return err
	}
	defer k.stop()
	var first, again []float64
	for round := range cfg.rounds {
		state := estate{services: 200, instances: 5}.node(0)
		state.Node.Name = fmt.Sprintf("sync-%d", round)
		for i := range state.Registrations {
			state.Registrations[i].Instance.Node = state.Node.Name
		}
		for pass, into := range []*[]float64{&first, &again} {
			start := time.Now()
			result, err := k.client.SyncNode(ctx, state)
			if err != nil {
				return err
			}
			*into = append(*into, float64(time.Since(start)))
			if pass == 1 && result.Puts+result.Deletes != 0 {
				return fmt.Errorf("the same state again wrote %d records", result.Puts+result.Deletes)
			}
		}
	}
	t.add(row{what: "node of 1,000 instances, one call", koine: millis(time.Duration(median(first)))})
	t.add(row{what: "the same again", koine: millis(time.Duration(median(again))) + ", no write", verdict: "no write met"})
	return nil
}
