"""Text or transaction → score: tokenizing, ONNX runtime, batching, registry, sentiment, topic, entities, fraud."""
