return "struct", {}
