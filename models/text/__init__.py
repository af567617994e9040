"""Text → language, sentiment, topic and entities, on ONNX Runtime; needs no torch."""
