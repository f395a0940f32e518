return "cmsgpack", {}
